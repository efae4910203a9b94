// Four f16 operands of an elementwise kernel, as common/quad_f16.wgsl says that they lie: the twin of common/quads_f32.wgsl.

alias V = vec4<f32>;
alias Result = Quad;
