// Arithmetic alone: $CHAINS independent chains of x = x · m + b, p.rounds · $STEPS steps long.
//
// An invocation keeps its chains in registers and writes one number; a workgroup is $WIDTH invocations that share nothing,
// and each workgroup writes the same numbers to the same place. m and b are not known when this is compiled, so no
// compiler works the chains out; |m| < 1 keeps them finite.

struct Params { rounds: u32, m: f32, b: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size($WIDTH)
fn main(@builtin(local_invocation_index) lane: u32) {
    let m = Float4(Float(p.m));
    let b = Float4(Float(p.b));
    //@ for c in 0..CHAINS
    var x_$c = Float4(Float(lane), Float(lane + 1u), Float(lane + 2u), Float(lane + 3u)) * Float(f32($c) + 1.0);
    //@ end
    for (var r = 0u; r < p.rounds; r++) {
        //@ for s in 0..STEPS
        //@ for c in 0..CHAINS
        x_$c = fma(x_$c, m, b);
        //@ end
        //@ end
    }
    var sum = x_0;
    //@ for c in 1..CHAINS
    sum += x_$c;
    //@ end
    y[lane] = f32(sum.x + sum.y + sum.z + sum.w);
}
