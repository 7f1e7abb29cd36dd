package tensor

// HostTo copies the elements to dst, which has Size elements. It is Host
// without the allocation.
func (t *Tensor) HostTo(dst []float32) {
	t.use("hostto")
	if t.isInt {
		fail("hostto", "tensor of shape %v holds ids, want floats", t.shape)
	}
	if len(dst) != len(t.data) {
		fail("hostto", "got room for %d values, want %d for shape %v", len(dst), len(t.data), t.shape)
	}
	copy(dst, t.data)
}
