// The gradient of an output that is read twice, in cell i: the sum of both readers' gradients.

@group(0) @binding($OTHER) var<storage, read> other_dy: array<Held>;

fn cotangent(i: u32) -> Cell {
    return given(i) + got(other_dy[place(i)], i);
}
