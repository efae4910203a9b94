// pow with a whole exponent a: y = x^a by repeated squaring, for x of any sign; x^0 = 1. dx = a·x^(a−1)·dy, 0 where
// a = 0. The error is about |a| roundings, no more than that of e^(a·ln x).

fn whole_power(x: vec4<f32>, exponent: i32) -> vec4<f32> {
    var power = vec4<f32>(1.0);
    var square = x;
    for (var left = u32(abs(exponent)); left > 0u; left >>= 1u) {
        if ((left & 1u) == 1u) {
            power *= square;
        }
        square *= square;
    }
    return select(power, 1.0 / power, exponent < 0);
}

fn apply(x: vec4<f32>) -> vec4<f32> {
    return whole_power(x, i32(p.a));
}

fn apply_grad(x: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    if (p.a == 0.0) {
        return vec4<f32>(0.0);
    }
    return dy * p.a * whole_power(x, i32(p.a) - 1);
}
