// A cell is the unit of a kernel over rows: after common/vec4.wgsl or common/scalar.wgsl.

alias Cell = V;
