"""The zoo: values that papers, model cards and Detectron2's documentation give, names, addresses and class names."""

from __future__ import annotations

import pytest

from d2deploy.config import ClassNames, Config, class_names, get_cfg, load_config, zoo_configs, zoo_weights
from d2deploy.config.merge import keys_of
from d2deploy.errors import InvalidArgument, Unsupported


def test_every_configuration_loads_and_differs_from_the_defaults() -> None:
    names = zoo_configs()
    assert len(names) == len(set(names)) == 68
    assert names == sorted(names)
    known = set(keys_of(get_cfg()))
    for name in names:
        cfg = load_config(name)
        assert set(keys_of(cfg)) == known
        assert cfg != get_cfg()
        assert cfg.DATASETS.TEST
        assert load_config(name.removesuffix(".yaml")) == cfg
    folders = {name.split("/")[0] for name in names}
    assert {"COCO-Detection", "COCO-InstanceSegmentation", "COCO-Keypoints", "COCO-PanopticSegmentation"} < folders
    assert {"Cityscapes", "PascalVOC-Detection", "Misc", "LVISv1-InstanceSegmentation"} < folders


def test_mask_rcnn() -> None:
    cfg = load_config("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml")
    assert cfg.MODEL.MASK_ON
    assert (cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.OUT_FEATURES) == (50, ["res2", "res3", "res4", "res5"])
    assert cfg.MODEL.RPN.IN_FEATURES == ["p2", "p3", "p4", "p5", "p6"]
    assert cfg.MODEL.ROI_HEADS.IN_FEATURES == ["p2", "p3", "p4", "p5"]
    assert (cfg.MODEL.ROI_BOX_HEAD.NUM_FC, cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION) == (2, 7)
    assert (cfg.MODEL.ROI_MASK_HEAD.NUM_CONV, cfg.MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION) == (4, 14)
    assert (cfg.SOLVER.STEPS, cfg.SOLVER.MAX_ITER) == ((210000, 250000), 270000)


def test_resnext_takes_its_own_normalisation() -> None:
    cfg = load_config("COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x")
    resnets = cfg.MODEL.RESNETS
    assert (resnets.DEPTH, resnets.NUM_GROUPS, resnets.WIDTH_PER_GROUP, resnets.STRIDE_IN_1X1) == (101, 32, 8, False)
    assert cfg.MODEL.PIXEL_STD == [57.375, 57.12, 58.395]


def test_c4_and_dc5() -> None:
    c4 = load_config("COCO-Detection/faster_rcnn_R_50_C4_1x")
    assert (c4.MODEL.ROI_HEADS.NAME, c4.MODEL.RPN.PRE_NMS_TOPK_TEST) == ("Res5ROIHeads", 6000)
    dc5 = load_config("COCO-Detection/faster_rcnn_R_101_DC5_3x")
    assert (dc5.MODEL.RESNETS.RES5_DILATION, dc5.MODEL.RPN.IN_FEATURES) == (2, ["res5"])


def test_proposals_before_and_after_suppression() -> None:
    """As Detectron2's base configurations say for inference, and those of proposals alone."""
    alone = {"rpn_R_50_C4_1x": (12000, 2000), "rpn_R_50_FPN_1x": (1000, 2000)}
    for name in zoo_configs():
        cfg, last = load_config(name), name.rpartition("/")[2].removesuffix(".yaml")
        if cfg.MODEL.META_ARCHITECTURE in ("FCOS", "RetinaNet", "SemanticSegmentor") or cfg.MODEL.LOAD_PROPOSALS:
            continue
        usual = (1000, 1000) if "fpn" in last.lower() else (6000, 1000)
        counts = (cfg.MODEL.RPN.PRE_NMS_TOPK_TEST, cfg.MODEL.RPN.POST_NMS_TOPK_TEST)
        assert counts == alone.get(last, usual), name


def test_retinanet() -> None:
    cfg = load_config("COCO-Detection/retinanet_R_101_FPN_3x")
    assert cfg.MODEL.META_ARCHITECTURE == "RetinaNet"
    sizes = cfg.MODEL.ANCHOR_GENERATOR.SIZES
    assert len(sizes) == 5
    assert [size / 32 for size in sizes[0]] == pytest.approx([1, 1.2599210, 1.5874011])  # an octave in three steps
    assert cfg.SOLVER.BASE_LR == 0.01


def test_other_tasks_and_data_sets() -> None:
    keypoint = load_config("COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x")
    assert (keypoint.MODEL.KEYPOINT_ON, keypoint.MODEL.ROI_HEADS.NUM_CLASSES) == (True, 1)
    assert keypoint.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS == 17
    assert load_config("COCO-PanopticSegmentation/panoptic_fpn_R_50_3x").MODEL.META_ARCHITECTURE == "PanopticFPN"
    lvis = load_config("LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x")
    assert (lvis.MODEL.ROI_HEADS.NUM_CLASSES, lvis.TEST.DETECTIONS_PER_IMAGE) == (1203, 300)
    assert load_config("LVISv0.5-InstanceSegmentation/mask_rcnn_R_50_FPN_1x").MODEL.ROI_HEADS.NUM_CLASSES == 1230
    cityscapes = load_config("Cityscapes/mask_rcnn_R_50_FPN")
    assert (cityscapes.INPUT.MIN_SIZE_TEST, cityscapes.INPUT.MAX_SIZE_TEST) == (1024, 2048)
    assert load_config("PascalVOC-Detection/faster_rcnn_R_50_C4").MODEL.ROI_HEADS.NUM_CLASSES == 20
    scratch = load_config("Misc/scratch_mask_rcnn_R_50_FPN_9x_gn")
    assert (scratch.MODEL.WEIGHTS, scratch.MODEL.BACKBONE.FREEZE_AT) == ("", 0)
    assert {scratch.MODEL[part].NORM for part in ("RESNETS", "FPN", "ROI_BOX_HEAD", "ROI_MASK_HEAD")} == {"GN"}
    deformable = load_config("Misc/mask_rcnn_R_50_FPN_3x_dconv_c3-c5").MODEL
    assert deformable.RESNETS.DEFORM_ON_PER_STAGE == [False, True, True, True]
    assert (deformable.RESNETS.DEFORM_MODULATED, deformable.MASK_ON) == (False, True)
    points = load_config("PointRend/InstanceSegmentation/pointrend_rcnn_R_50_FPN_1x_cityscapes").MODEL
    assert (points.ROI_MASK_HEAD.NAME, points.ROI_MASK_HEAD.POOLER_TYPE) == ("PointRendMaskHead", "")
    assert (points.POINT_HEAD.NUM_CLASSES, points.POINT_HEAD.SUBDIVISION_STEPS) == (8, 5)
    stuff = load_config("PointRend/SemanticSegmentation/pointrend_semantic_R_101_FPN_1x_cityscapes").MODEL
    assert (stuff.SEM_SEG_HEAD.NAME, stuff.POINT_HEAD.SUBDIVISION_NUM_POINTS) == ("PointRendSemSegHead", 8192)
    old = load_config("Detectron1-Comparisons/mask_rcnn_R_50_FPN_noaug_1x")
    assert old.MODEL.ROI_MASK_HEAD.POOLER_TYPE == "ROIAlign"


UNSUPPORTED = {
    "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ": "configurations in Python",
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_cannot_be_exported_says_why(name: str) -> None:
    assert name not in zoo_configs()
    for ask in (load_config, zoo_weights):
        with pytest.raises(Unsupported, match=f"cannot be exported: .*{UNSUPPORTED[name]}"):
            ask(name)


def test_names_that_were_mistyped() -> None:
    with pytest.raises(InvalidArgument, match="no such file, and no configuration of the zoo; did you mean COCO-Det"):
        load_config("COCO-Detection/faster_rcnn_R50_FPN_1x.yaml")
    with pytest.raises(InvalidArgument, match="mean Cityscapes/mask_rcnn_R_50_FPN\\?"):
        load_config("mask_rcnn_R_50_FPN.yaml")
    with pytest.raises(InvalidArgument, match="or LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x"):
        load_config("mask_rcnn_R_50_FPN_1x")


def test_weights() -> None:
    address = "detectron2://COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl"
    assert zoo_weights("COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml") == address
    assert address == load_config("Cityscapes/mask_rcnn_R_50_FPN").MODEL.WEIGHTS  # it starts from these
    assert zoo_weights("COCO-Detection/retinanet_R_50_FPN_3x").endswith("/190397829/model_final_5bd44e.pkl")
    addresses = []
    for name in zoo_configs():
        try:
            addresses.append(zoo_weights(name))
        except InvalidArgument as error:
            assert "no trained weights" in str(error)  # noqa: PT017  # ten of the zoo have none
    assert len(set(addresses)) == len(addresses) == 58
    with pytest.raises(InvalidArgument, match="the zoo has no configuration x/y"):
        zoo_weights("x/y.yaml")


def names_of(name: str) -> ClassNames:
    return class_names(load_config(name))


def test_class_names() -> None:
    coco = names_of("COCO-Detection/retinanet_R_50_FPN_1x")
    assert len(coco.things) == len(set(coco.things)) == 80
    assert (coco.things[0], coco.things[36], coco.things[79]) == ("person", "skateboard", "toothbrush")
    assert all(name == " ".join(name.split()) for name in coco.things)
    assert coco.stuff == ()
    panoptic = names_of("COCO-PanopticSegmentation/panoptic_fpn_R_50_1x")
    assert panoptic.things == coco.things
    assert len(panoptic.stuff) == len(set(panoptic.stuff)) == 54
    assert (panoptic.stuff[0], panoptic.stuff[1], panoptic.stuff[40], panoptic.stuff[53]) == (
        "things",
        "banner",
        "sky",
        "rug",
    )
    assert names_of("Misc/semantic_R_50_FPN_1x") == ClassNames((), panoptic.stuff)
    assert names_of("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x").things == ("person",)
    assert names_of("Cityscapes/mask_rcnn_R_50_FPN").things[:3] == ("person", "rider", "car")
    voc = names_of("PascalVOC-Detection/faster_rcnn_R_50_C4").things
    assert (len(voc), voc[0], voc[19]) == (20, "aeroplane", "tvmonitor")


def test_class_names_that_are_not_known_are_left_out() -> None:
    assert names_of("LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x") == ClassNames()
    assert names_of("COCO-Detection/rpn_R_50_FPN_1x") == ClassNames()
    assert class_names(get_cfg()) == ClassNames()

    def changed(*overrides: str) -> Config:
        return load_config("COCO-Detection/faster_rcnn_R_50_FPN_1x", overrides)

    assert class_names(changed("MODEL.ROI_HEADS.NUM_CLASSES", "3")) == ClassNames()
    assert class_names(changed("DATASETS.TEST", "('my_own',)")) == ClassNames()
    assert class_names(changed("DATASETS.TEST", "('coco_2017_val_panoptic_stuffonly',)")) == ClassNames()
