// CUDA's short vectors, with the alignment that their loads and stores need.
#pragma once

#define EMU_VECTORS(type, name, two, four)                                                        \
  struct name##1 { type x; };                                                                     \
  struct alignas(two) name##2 { type x, y; };                                                     \
  struct name##3 { type x, y, z; };                                                               \
  struct alignas(four) name##4 { type x, y, z, w; };                                              \
  static inline name##1 make_##name##1(type x) { return {x}; }                                    \
  static inline name##2 make_##name##2(type x, type y) { return {x, y}; }                         \
  static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }              \
  static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

EMU_VECTORS(signed char, char, 2, 4)
EMU_VECTORS(unsigned char, uchar, 2, 4)
EMU_VECTORS(short, short, 4, 8)
EMU_VECTORS(unsigned short, ushort, 4, 8)
EMU_VECTORS(int, int, 8, 16)
#define uint3 uint3_  // threadIdx's type, declared in thread.h
EMU_VECTORS(unsigned, uint, 8, 16)
#undef uint3
EMU_VECTORS(float, float, 8, 16)
EMU_VECTORS(double, double, 16, 16)
EMU_VECTORS(long long, longlong, 16, 16)
EMU_VECTORS(unsigned long long, ulonglong, 16, 16)
#undef EMU_VECTORS
