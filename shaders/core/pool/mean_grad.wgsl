// The share of an element in the dy of a window over it: dy / the window's area.
@group(0) @binding(1) var<storage, read> dy: array<Held>;

struct Share { value: f32, rows: vec2<u32>, columns: vec2<u32> }

fn share(o: u32, row: u32, column: u32, inside: bool) -> Share {
    let rows = window_rows(row);
    let columns = window_columns(column);
    return Share(select(0.0, got(dy[place(o)], o), inside) / area(rows, columns), rows, columns);
}

fn given(s: Share, at: u32, h: u32, w: u32) -> f32 {
    let covers = (h >= s.rows.x) & (h < s.rows.y) & (w >= s.columns.x) & (w < s.columns.y);
    return select(0.0, s.value, covers);
}
