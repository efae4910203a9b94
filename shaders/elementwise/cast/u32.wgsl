// Floats as whole numbers, towards zero. What has no whole number, below 0 or past the largest float below 2^32, takes
// the nearest, and NaN takes 0, which is told by its bits: a driver may assume that no float is a NaN.

alias From = vec4<f32>;
alias To = vec4<u32>;

fn converted(x: From, i: u32) -> To {
    let nan = (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return select(To(clamp(x, From(0.0), From(4294967040.0))), To(0u), nan);
}
