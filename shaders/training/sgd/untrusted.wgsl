// Plain sgd: every gradient is taken as it is. Its twin is training/lars/trusted.wgsl.

fn trust() -> f32 {
    return 1.0;
}
