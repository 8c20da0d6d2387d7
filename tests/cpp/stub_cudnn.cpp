// A cuDNN that tells the version D2DEPLOY_STUB_VERSION and has no more than the names of what is called, of those that
// this version has.
#include <cstddef>

#define D2DEPLOY_STUB(name) \
  int name() { return 1; }

extern "C" {
std::size_t cudnnGetVersion() { return D2DEPLOY_STUB_VERSION; }
D2DEPLOY_STUB(cudnnCreate)
D2DEPLOY_STUB(cudnnDestroy)
D2DEPLOY_STUB(cudnnSetStream)
D2DEPLOY_STUB(cudnnGetErrorString)
#if D2DEPLOY_STUB_VERSION >= 90000
D2DEPLOY_STUB(cudnnGetLastErrorString)
#endif
D2DEPLOY_STUB(cudnnBackendCreateDescriptor)
D2DEPLOY_STUB(cudnnBackendDestroyDescriptor)
D2DEPLOY_STUB(cudnnBackendSetAttribute)
D2DEPLOY_STUB(cudnnBackendGetAttribute)
D2DEPLOY_STUB(cudnnBackendFinalize)
D2DEPLOY_STUB(cudnnBackendExecute)
}
