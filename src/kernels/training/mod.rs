//! training: optimizers and what else is updated in place once a step.

ops! {
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
