// A cell is four neighbours of one image and channel: for planes of a multiple of four elements.

alias Cell = vec4<f32>;
const WIDTH = 4.0;

fn total(v: Cell) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
