// tanh: the built-in overflows to NaN on some drivers and loses small x, so: x + x³·P(x²) below 0.625 (the polynomial of
// Cephes' tanhf, S. Moshier), ±(1 − 2/(e^2|x| + 1)) above, where |x| past 15 gives 1 anyway. A NaN stays a NaN.
// dx = (1 − y²)·dy, from the output, as (1 − y)·(1 + y), which is exact near ±1.

fn apply(x: vec4<f32>) -> vec4<f32> {
    let z = x * x;
    var small = -5.70498872745e-3 * z + 2.06390887954e-2;
    small = small * z - 5.37397155531e-2;
    small = small * z + 1.33314422036e-1;
    small = x + x * z * (small * z - 3.33332819422e-1);
    let size = select(abs(x), vec4<f32>(15.0), abs(x) > vec4<f32>(15.0));
    let large = sign(x) * (1.0 - 2.0 / (exp(2.0 * size) + 1.0));
    return select(large, small, abs(x) < vec4<f32>(0.625));
}

fn apply_grad(y: vec4<f32>, dy: vec4<f32>) -> vec4<f32> {
    return dy * (1.0 - y) * (1.0 + y);
}
