// The mean of a window. Rows add up on their own first: shorter sums round less.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    y[o] = sum.all / area;
}
