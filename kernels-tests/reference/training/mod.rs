//! training: the references of src/kernels/training/.

references! {
    adam,
    clip_grad_norm,
    ema,
    enqueue,
    found_inf,
    lars,
    loss_scale,
    ring,
    sgd,
}
