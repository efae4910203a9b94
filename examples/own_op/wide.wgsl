// Four elements an invocation: every buffer is padded to 16 bytes, so the last vec4 is whole.
alias T = vec4<f32>;
