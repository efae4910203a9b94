//! images: the references of src/kernels/images/.

references! {
    color_jitter,
    crop,
    crop_resize,
    cutmix,
    cutout,
    gaussian_blur,
    jigsaw,
    magnify,
    mixup,
    normalize,
    resize,
    rotate,
    solarize,
}
