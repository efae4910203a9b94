// Whole numbers as floats, to the nearest: exact below 2^24.

alias From = vec4<u32>;
alias To = vec4<f32>;

fn converted(x: From, i: u32) -> To {
    return To(x);
}
