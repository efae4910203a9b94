// loss_scale.step: a bad step halves the scale and starts the count anew; `interval` good ones in a row double it. In
// place, whatever the guard says: the flag is the guard. Both ends are powers of two that f32 holds with room to spare.

struct Params { initial: f32, interval: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> good: array<f32>;
@group(0) @binding(3) var<storage, read> flag: array<u32>;

@compute @workgroup_size(1)
fn main() {
    let now = select(scale[0], p.initial, scale[0] == 0.0);
    let count = good[0] + 1.0;
    let bad = flag[0] != 0u;
    let grown = !bad & (count >= p.interval);
    let least = bitcast<f32>(27u << 23u); // 2⁻¹⁰⁰
    let most = bitcast<f32>(227u << 23u); // 2¹⁰⁰
    scale[0] = clamp(select(select(now, 2.0 * now, grown), 0.5 * now, bad), least, most);
    good[0] = select(count, 0.0, bad | grown);
}
