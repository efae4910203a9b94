// A cell is one element, for kernels that know no other.

alias Cell = f32;
