// The maximum of a window and where in its plane it stands. The first maximum in row order wins and a NaN beats every
// number, so that a bad step is seen; of several NaN the last one wins, as in PyTorch. The NaN test is on bits, which no
// driver optimises away.
@group(0) @binding(1) var<storage, read> x: array<Held>;
@group(0) @binding(3) var<storage, read_write> argmax: array<u32>;

struct Sum { value: f32, at: u32 }

fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

fn begin(plane: u32, at: u32) -> Sum {
    return Sum(got(x[place(plane + at)], plane + at), at);
}

fn take(best: Sum, at: u32, v: f32, inside: bool) -> Sum {
    let wins = (v > best.value) | is_nan(v);
    return Sum(select(best.value, v, wins), select(best.at, at, wins));
}

fn next_row(best: Sum) -> Sum {
    return best;
}

fn store(o: u32, best: Sum, area: f32) {
    put(o, best.value);
    argmax[o] = best.at;
}
