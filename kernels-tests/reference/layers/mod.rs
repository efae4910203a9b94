//! layers: the references of src/kernels/layers/.

references! {
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    add_bias,
    attention,
    avg_pool2d,
    batch_norm,
    batch_norm_relu,
    conv2d,
    conv_transpose2d,
    drop_path,
    dropout,
    group_norm,
    l2_normalize,
    layer_norm,
    matmul,
    max_pool2d,
    merge_statistics,
    softmax,
    spectral_norm,
}

pub mod winograd_terms;
