//! images: augmentations and geometry, image by image.

ops! {
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
