// The step's guard, bound at $GUARD: state is left alone when it is raised. Its twin is unguarded.wgsl.
@group(0) @binding($GUARD) var<storage, read> guard: array<u32>;

fn held() -> bool {
    return guard[0] != 0u;
}
