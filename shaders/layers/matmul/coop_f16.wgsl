// The operands of a cooperative product in f16: after common/enable_f16.wgsl.

alias Operand = f16;
@group(0) @binding(1) var<storage, read> a: array<Operand>;
@group(0) @binding(2) var<storage, read> b: array<Operand>;
