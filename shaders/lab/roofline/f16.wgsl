// What the fma probe computes with: 16 bits. After common/enable_f16.wgsl.

alias Float = f16;
alias Float4 = vec4<f16>;
