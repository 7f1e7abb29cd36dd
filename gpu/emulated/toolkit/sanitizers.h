// The compiler's checks of addresses and of array indices end here.
#pragma once

namespace emu {
struct Location {
  const char *file;
  unsigned line, column;
};
struct OutOfBounds { Location at; };
struct TypeMismatch { Location at; };
}  // namespace emu

extern "C" {
__attribute__((visibility("hidden"), used)) inline void __ubsan_handle_type_mismatch_v1_abort(emu::TypeMismatch *m, size_t) {
  emu::scheduler()->fail(emu::MisalignedAddress, m->at.file, m->at.line, "an address that is not aligned for its type");
}
__attribute__((visibility("hidden"), used)) inline void __ubsan_handle_out_of_bounds_abort(emu::OutOfBounds *b, size_t) {
  emu::scheduler()->fail(emu::IllegalAddress, b->at.file, b->at.line, "an index outside of its array");
}
}
