// How cells of one half lie in memory: cell i is in word i / 2, whatever row that is, so a plane may begin within a word.
// After common/half.wgsl. Its twins are held_f32.wgsl and held_halves.wgsl.

alias Held = u32;

fn place(i: u32) -> u32 {
    return i / 2u;
}

fn got(held: Held, i: u32) -> Cell {
    return float((held >> (16u * (i % 2u))) & 0xffffu);
}
