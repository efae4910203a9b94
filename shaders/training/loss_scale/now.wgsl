// loss_scale: what the loss is multiplied by: the state, or the number to begin with where the state is still 0.

struct Params { initial: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> state: array<f32>;
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;

@compute @workgroup_size(1)
fn main() {
    scale[0] = select(state[0], p.initial, state[0] == 0.0);
}
