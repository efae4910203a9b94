// What the fma probe computes with: 32 bits.

alias Float = f32;
alias Float4 = vec4<f32>;
