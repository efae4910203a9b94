// The mean of a window. Rows add up on their own first: shorter sums round less.
@group(0) @binding(1) var<storage, read> x: array<Held>;

struct Sum { row: f32, all: f32 }

fn begin(plane: u32, at: u32) -> Sum {
    return Sum(0.0, 0.0);
}

fn take(sum: Sum, at: u32, v: f32, inside: bool) -> Sum {
    return Sum(sum.row + select(0.0, v, inside), sum.all);
}

fn next_row(sum: Sum) -> Sum {
    return Sum(0.0, sum.all + sum.row);
}

fn store(o: u32, sum: Sum, area: f32) {
    put(o, sum.all / area);
}
