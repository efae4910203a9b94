// The operands of a cooperative product in f32: the twin of layers/matmul/coop_f16.wgsl.

alias Operand = f32;
@group(0) @binding(1) var<storage, read> a: array<Operand>;
@group(0) @binding(2) var<storage, read> b: array<Operand>;
