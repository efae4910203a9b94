// squareplus: y = (x + √(x² + b)) / 2. One T an invocation; a workgroup owns 64 in a row, nothing must divide.
// Where x < 0 the sum would cancel, so it is written as b / (2 (√(x² + b) − x)) there.

struct Params { count: u32, b: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let i = id.x + id.y * groups.x * 64u; // long lists are folded over (x, y)
    if i < p.count {
        let v = x[i];
        let both = sqrt(v * v + p.b) + abs(v);
        y[i] = select(0.5 * p.b / both, 0.5 * both, v >= T(0.0));
    }
}
