// How cells of f32, or of words that are moved, lie in memory: as they are. A kernel that reads cell i of a buffer of Held says
// `got(buffer[place(i)], i)`. Its twins are held_half.wgsl and held_halves.wgsl.

alias Held = Cell;

fn place(i: u32) -> u32 {
    return i;
}

fn got(held: Held, i: u32) -> Cell {
    return held;
}
