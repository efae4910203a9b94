// Which of four floats are NaN: on bits, since a driver may assume that no float is one.

fn is_nan(v: V) -> vec4<bool> {
    return (bitcast<vec4<u32>>(v) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}
