//! losses: of labels, of pairs, of distributions, and what corrects for wrong labels.

ops! {
    barlow_twins,
    bce_with_logits,
    center,
    correct,
    cross_entropy,
    elr,
    gce,
    hinge,
    info_nce,
    kl_div,
    kl_gaussian,
    mse,
    nce_rce,
    negative_cosine,
    nt_xent,
    sce,
    vicreg,
}
