// What happens to y of cell i before it is stored: max(y, 0); a NaN stays a NaN.

fn after(i: u32, y: Cell) -> Cell {
    return select(y, Cell(), is_below(y));
}
