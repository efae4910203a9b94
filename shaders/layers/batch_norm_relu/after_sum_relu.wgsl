// What happens to y of cell i before it is stored: max(y + residual, 0); a NaN stays a NaN.

@group(0) @binding(7) var<storage, read> residual: array<Held>;

fn after(i: u32, y: Cell) -> Cell {
    let sum = y + got(residual[place(i)], i);
    return select(sum, Cell(), is_below(sum));
}
