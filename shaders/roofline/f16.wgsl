// What the fma probe computes with: 16 bits.

enable f16;
alias Float = f16;
alias Float4 = vec4<f16>;
