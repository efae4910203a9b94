// How cells of four halves lie in memory: two words each. After common/half.wgsl and common/quad_f16.wgsl. Its twins are
// held_f32.wgsl and held_half.wgsl.

alias Held = Quad;

fn place(i: u32) -> u32 {
    return i;
}

fn got(held: Held, i: u32) -> Cell {
    return loaded(held);
}
