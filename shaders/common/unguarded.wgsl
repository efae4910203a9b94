// A step without a guard. Its twin is guarded.wgsl.

fn held() -> bool {
    return false;
}
