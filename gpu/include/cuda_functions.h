// The functions of the CUDA driver that this program names, under the names that
// libcuda.so.1 exports: AR(symbol, parameters, arguments). cuda.h declares them
// from this list, and shim.c defines them; whoever includes it defines AR.
//
// The names are those of CUDA 12. Drivers keep old names for good, so these are
// there in every driver since, whatever CUDA's headers call a function today.

// Initialization and devices.
AR(cuDeviceCanAccessPeer, (int *a, CUdevice b, CUdevice c), (a, b, c))
AR(cuDeviceGet, (CUdevice *a, int b), (a, b))
AR(cuDeviceGetAttribute, (int *a, CUdevice_attribute b, CUdevice c), (a, b, c))
AR(cuDeviceGetCount, (int *a), (a))
AR(cuDeviceGetName, (char *a, int b, CUdevice c), (a, b, c))
AR(cuDeviceGetP2PAttribute, (int *a, CUdevice_P2PAttribute b, CUdevice c, CUdevice d), (a, b, c, d))
AR(cuDeviceGetUuid_v2, (CUuuid *a, CUdevice b), (a, b))
AR(cuDevicePrimaryCtxGetState, (CUdevice a, unsigned *b, int *c), (a, b, c))
AR(cuDevicePrimaryCtxRelease_v2, (CUdevice a), (a))
AR(cuDevicePrimaryCtxReset_v2, (CUdevice a), (a))
AR(cuDevicePrimaryCtxRetain, (CUcontext *a, CUdevice b), (a, b))
AR(cuDevicePrimaryCtxSetFlags_v2, (CUdevice a, unsigned b), (a, b))
AR(cuDeviceTotalMem_v2, (size_t *a, CUdevice b), (a, b))
AR(cuDriverGetVersion, (int *a), (a))

// Contexts.
AR(cuCtxCreate_v2, (CUcontext *a, unsigned b, CUdevice c), (a, b, c))
AR(cuCtxDestroy_v2, (CUcontext a), (a))
AR(cuCtxDisablePeerAccess, (CUcontext a), (a))
AR(cuCtxEnablePeerAccess, (CUcontext a, unsigned b), (a, b))
AR(cuCtxGetApiVersion, (CUcontext a, unsigned *b), (a, b))
AR(cuCtxGetCacheConfig, (CUfunc_cache *a), (a))
AR(cuCtxGetCurrent, (CUcontext *a), (a))
AR(cuCtxGetDevice, (CUdevice *a), (a))
AR(cuCtxGetFlags, (unsigned *a), (a))
AR(cuCtxGetLimit, (size_t *a, CUlimit b), (a, b))
AR(cuCtxGetSharedMemConfig, (CUsharedconfig *a), (a))
AR(cuCtxGetStreamPriorityRange, (int *a, int *b), (a, b))
AR(cuCtxPopCurrent_v2, (CUcontext *a), (a))
AR(cuCtxPushCurrent_v2, (CUcontext a), (a))
AR(cuCtxResetPersistingL2Cache, (void), ())
AR(cuCtxSetCacheConfig, (CUfunc_cache a), (a))
AR(cuCtxSetCurrent, (CUcontext a), (a))
AR(cuCtxSetLimit, (CUlimit a, size_t b), (a, b))
AR(cuCtxSetSharedMemConfig, (CUsharedconfig a), (a))
AR(cuCtxSynchronize, (void), ())

// Modules and the linker.
AR(cuLinkAddData_v2,
   (CUlinkState a, CUjitInputType b, void *c, size_t d, const char *e, unsigned f, CUjit_option *g, void **h),
   (a, b, c, d, e, f, g, h))
AR(cuLinkAddFile_v2,
   (CUlinkState a, CUjitInputType b, const char *c, unsigned d, CUjit_option *e, void **f),
   (a, b, c, d, e, f))
AR(cuLinkComplete, (CUlinkState a, void **b, size_t *c), (a, b, c))
AR(cuLinkCreate_v2, (unsigned a, CUjit_option *b, void **c, CUlinkState *d), (a, b, c, d))
AR(cuLinkDestroy, (CUlinkState a), (a))
AR(cuModuleGetFunction, (CUfunction *a, CUmodule b, const char *c), (a, b, c))
AR(cuModuleGetGlobal_v2, (CUdeviceptr *a, size_t *b, CUmodule c, const char *d), (a, b, c, d))
AR(cuModuleGetSurfRef, (CUsurfref *a, CUmodule b, const char *c), (a, b, c))
AR(cuModuleGetTexRef, (CUtexref *a, CUmodule b, const char *c), (a, b, c))
AR(cuModuleLoad, (CUmodule *a, const char *b), (a, b))
AR(cuModuleLoadData, (CUmodule *a, const void *b), (a, b))
AR(cuModuleLoadDataEx, (CUmodule *a, const void *b, unsigned c, CUjit_option *d, void **e), (a, b, c, d, e))
AR(cuModuleLoadFatBinary, (CUmodule *a, const void *b), (a, b))
AR(cuModuleUnload, (CUmodule a), (a))

// Memory.
AR(cuArray3DCreate_v2, (CUarray *a, const CUDA_ARRAY3D_DESCRIPTOR *b), (a, b))
AR(cuArray3DGetDescriptor_v2, (CUDA_ARRAY3D_DESCRIPTOR *a, CUarray b), (a, b))
AR(cuArrayCreate_v2, (CUarray *a, const CUDA_ARRAY_DESCRIPTOR *b), (a, b))
AR(cuArrayDestroy, (CUarray a), (a))
AR(cuArrayGetDescriptor_v2, (CUDA_ARRAY_DESCRIPTOR *a, CUarray b), (a, b))
AR(cuMemAdvise, (CUdeviceptr a, size_t b, CUmem_advise c, CUdevice d), (a, b, c, d))
AR(cuMemAlloc_v2, (CUdeviceptr *a, size_t b), (a, b))
AR(cuMemAllocManaged, (CUdeviceptr *a, size_t b, unsigned c), (a, b, c))
AR(cuMemAllocPitch_v2, (CUdeviceptr *a, size_t *b, size_t c, size_t d, unsigned e), (a, b, c, d, e))
AR(cuMemFree_v2, (CUdeviceptr a), (a))
AR(cuMemFreeHost, (void *a), (a))
AR(cuMemGetAddressRange_v2, (CUdeviceptr *a, size_t *b, CUdeviceptr c), (a, b, c))
AR(cuMemGetInfo_v2, (size_t *a, size_t *b), (a, b))
AR(cuMemPrefetchAsync, (CUdeviceptr a, size_t b, CUdevice c, CUstream d), (a, b, c, d))
AR(cuPointerGetAttribute, (void *a, CUpointer_attribute b, CUdeviceptr c), (a, b, c))
AR(cuPointerSetAttribute, (const void *a, CUpointer_attribute b, CUdeviceptr c), (a, b, c))

// Copies.
AR(cuMemcpy, (CUdeviceptr a, CUdeviceptr b, size_t c), (a, b, c))
AR(cuMemcpy2D_v2, (const CUDA_MEMCPY2D *a), (a))
AR(cuMemcpy2DAsync_v2, (const CUDA_MEMCPY2D *a, CUstream b), (a, b))
AR(cuMemcpy2DUnaligned_v2, (const CUDA_MEMCPY2D *a), (a))
AR(cuMemcpy3D_v2, (const CUDA_MEMCPY3D *a), (a))
AR(cuMemcpy3DAsync_v2, (const CUDA_MEMCPY3D *a, CUstream b), (a, b))
AR(cuMemcpy3DPeer, (const CUDA_MEMCPY3D_PEER *a), (a))
AR(cuMemcpy3DPeerAsync, (const CUDA_MEMCPY3D_PEER *a, CUstream b), (a, b))
AR(cuMemcpyAsync, (CUdeviceptr a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d))
AR(cuMemcpyAtoA_v2, (CUarray a, size_t b, CUarray c, size_t d, size_t e), (a, b, c, d, e))
AR(cuMemcpyAtoD_v2, (CUdeviceptr a, CUarray b, size_t c, size_t d), (a, b, c, d))
AR(cuMemcpyAtoH_v2, (void *a, CUarray b, size_t c, size_t d), (a, b, c, d))
AR(cuMemcpyAtoHAsync_v2, (void *a, CUarray b, size_t c, size_t d, CUstream e), (a, b, c, d, e))
AR(cuMemcpyDtoA_v2, (CUarray a, size_t b, CUdeviceptr c, size_t d), (a, b, c, d))
AR(cuMemcpyDtoD_v2, (CUdeviceptr a, CUdeviceptr b, size_t c), (a, b, c))
AR(cuMemcpyDtoDAsync_v2, (CUdeviceptr a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d))
AR(cuMemcpyDtoH_v2, (void *a, CUdeviceptr b, size_t c), (a, b, c))
AR(cuMemcpyDtoHAsync_v2, (void *a, CUdeviceptr b, size_t c, CUstream d), (a, b, c, d))
AR(cuMemcpyHtoA_v2, (CUarray a, size_t b, const void *c, size_t d), (a, b, c, d))
AR(cuMemcpyHtoAAsync_v2, (CUarray a, size_t b, const void *c, size_t d, CUstream e), (a, b, c, d, e))
AR(cuMemcpyHtoD_v2, (CUdeviceptr a, const void *b, size_t c), (a, b, c))
AR(cuMemcpyHtoDAsync_v2, (CUdeviceptr a, const void *b, size_t c, CUstream d), (a, b, c, d))
AR(cuMemcpyPeer, (CUdeviceptr a, CUcontext b, CUdeviceptr c, CUcontext d, size_t e), (a, b, c, d, e))
AR(cuMemcpyPeerAsync,
   (CUdeviceptr a, CUcontext b, CUdeviceptr c, CUcontext d, size_t e, CUstream f),
   (a, b, c, d, e, f))

// Fills.
AR(cuMemsetD16_v2, (CUdeviceptr a, unsigned short b, size_t c), (a, b, c))
AR(cuMemsetD16Async, (CUdeviceptr a, unsigned short b, size_t c, CUstream d), (a, b, c, d))
AR(cuMemsetD2D16_v2, (CUdeviceptr a, size_t b, unsigned short c, size_t d, size_t e), (a, b, c, d, e))
AR(cuMemsetD2D16Async,
   (CUdeviceptr a, size_t b, unsigned short c, size_t d, size_t e, CUstream f),
   (a, b, c, d, e, f))
AR(cuMemsetD2D32_v2, (CUdeviceptr a, size_t b, unsigned c, size_t d, size_t e), (a, b, c, d, e))
AR(cuMemsetD2D32Async, (CUdeviceptr a, size_t b, unsigned c, size_t d, size_t e, CUstream f), (a, b, c, d, e, f))
AR(cuMemsetD2D8_v2, (CUdeviceptr a, size_t b, unsigned char c, size_t d, size_t e), (a, b, c, d, e))
AR(cuMemsetD2D8Async, (CUdeviceptr a, size_t b, unsigned char c, size_t d, size_t e, CUstream f), (a, b, c, d, e, f))
AR(cuMemsetD32_v2, (CUdeviceptr a, unsigned b, size_t c), (a, b, c))
AR(cuMemsetD32Async, (CUdeviceptr a, unsigned b, size_t c, CUstream d), (a, b, c, d))
AR(cuMemsetD8_v2, (CUdeviceptr a, unsigned char b, size_t c), (a, b, c))
AR(cuMemsetD8Async, (CUdeviceptr a, unsigned char b, size_t c, CUstream d), (a, b, c, d))

// Streams and events.
AR(cuEventCreate, (CUevent *a, unsigned b), (a, b))
AR(cuEventDestroy_v2, (CUevent a), (a))
AR(cuEventElapsedTime, (float *a, CUevent b, CUevent c), (a, b, c))
AR(cuEventQuery, (CUevent a), (a))
AR(cuEventRecord, (CUevent a, CUstream b), (a, b))
AR(cuEventSynchronize, (CUevent a), (a))
AR(cuStreamAttachMemAsync, (CUstream a, CUdeviceptr b, size_t c, unsigned d), (a, b, c, d))
AR(cuStreamCreate, (CUstream *a, unsigned b), (a, b))
AR(cuStreamCreateWithPriority, (CUstream *a, unsigned b, int c), (a, b, c))
AR(cuStreamDestroy_v2, (CUstream a), (a))
AR(cuStreamGetFlags, (CUstream a, unsigned *b), (a, b))
AR(cuStreamGetPriority, (CUstream a, int *b), (a, b))
AR(cuStreamQuery, (CUstream a), (a))
AR(cuStreamSynchronize, (CUstream a), (a))
AR(cuStreamWaitEvent, (CUstream a, CUevent b, unsigned c), (a, b, c))
AR(cuStreamWaitValue32_v2, (CUstream a, CUdeviceptr b, cuuint32_t c, unsigned d), (a, b, c, d))
AR(cuStreamWriteValue32_v2, (CUstream a, CUdeviceptr b, cuuint32_t c, unsigned d), (a, b, c, d))

// Functions and launches.
AR(cuFuncGetAttribute, (int *a, CUfunction_attribute b, CUfunction c), (a, b, c))
AR(cuFuncSetCacheConfig, (CUfunction a, CUfunc_cache b), (a, b))
AR(cuFuncSetSharedMemConfig, (CUfunction a, CUsharedconfig b), (a, b))
AR(cuLaunchKernel,
   (CUfunction a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f, unsigned g, unsigned h, CUstream i, void **j, void **k),
   (a, b, c, d, e, f, g, h, i, j, k))
AR(cuOccupancyMaxActiveBlocksPerMultiprocessor, (int *a, CUfunction b, int c, size_t d), (a, b, c, d))
AR(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags,
   (int *a, CUfunction b, int c, size_t d, unsigned e),
   (a, b, c, d, e))
AR(cuOccupancyMaxPotentialBlockSize,
   (int *a, int *b, CUfunction c, CUoccupancyB2DSize d, size_t e, int f),
   (a, b, c, d, e, f))

// Graphs.
AR(cuGraphAddChildGraphNode, (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d, CUgraph e), (a, b, c, d, e))
AR(cuGraphAddDependencies, (CUgraph a, const CUgraphNode *b, const CUgraphNode *c, size_t d), (a, b, c, d))
AR(cuGraphAddEmptyNode, (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d), (a, b, c, d))
AR(cuGraphAddHostNode,
   (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d, const CUDA_HOST_NODE_PARAMS *e),
   (a, b, c, d, e))
AR(cuGraphAddKernelNode,
   (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d, const CUDA_KERNEL_NODE_PARAMS *e),
   (a, b, c, d, e))
AR(cuGraphAddMemcpyNode,
   (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d, const CUDA_MEMCPY3D *e, CUcontext f),
   (a, b, c, d, e, f))
AR(cuGraphAddMemsetNode,
   (CUgraphNode *a, CUgraph b, const CUgraphNode *c, size_t d, const CUDA_MEMSET_NODE_PARAMS *e, CUcontext f),
   (a, b, c, d, e, f))
AR(cuGraphClone, (CUgraph *a, CUgraph b), (a, b))
AR(cuGraphCreate, (CUgraph *a, unsigned b), (a, b))
AR(cuGraphDestroy, (CUgraph a), (a))
AR(cuGraphDestroyNode, (CUgraphNode a), (a))
AR(cuGraphExecDestroy, (CUgraphExec a), (a))
AR(cuGraphGetEdges, (CUgraph a, CUgraphNode *b, CUgraphNode *c, size_t *d), (a, b, c, d))

// Textures and surfaces.
AR(cuSurfRefGetArray, (CUarray *a, CUsurfref b), (a, b))
AR(cuSurfRefSetArray, (CUsurfref a, CUarray b, unsigned c), (a, b, c))
AR(cuTexRefGetAddress_v2, (CUdeviceptr *a, CUtexref b), (a, b))
AR(cuTexRefGetAddressMode, (CUaddress_mode *a, CUtexref b, int c), (a, b, c))
AR(cuTexRefGetArray, (CUarray *a, CUtexref b), (a, b))
AR(cuTexRefGetBorderColor, (float *a, CUtexref b), (a, b))
AR(cuTexRefGetFilterMode, (CUfilter_mode *a, CUtexref b), (a, b))
AR(cuTexRefGetFlags, (unsigned *a, CUtexref b), (a, b))
AR(cuTexRefGetFormat, (CUarray_format *a, int *b, CUtexref c), (a, b, c))
AR(cuTexRefGetMaxAnisotropy, (int *a, CUtexref b), (a, b))
AR(cuTexRefSetAddress_v2, (size_t *a, CUtexref b, CUdeviceptr c, size_t d), (a, b, c, d))
AR(cuTexRefSetAddress2D_v3, (CUtexref a, const CUDA_ARRAY_DESCRIPTOR *b, CUdeviceptr c, size_t d), (a, b, c, d))
AR(cuTexRefSetAddressMode, (CUtexref a, int b, CUaddress_mode c), (a, b, c))
AR(cuTexRefSetArray, (CUtexref a, CUarray b, unsigned c), (a, b, c))
AR(cuTexRefSetBorderColor, (CUtexref a, float *b), (a, b))
AR(cuTexRefSetFilterMode, (CUtexref a, CUfilter_mode b), (a, b))
AR(cuTexRefSetFlags, (CUtexref a, unsigned b), (a, b))
AR(cuTexRefSetFormat, (CUtexref a, CUarray_format b, int c), (a, b, c))
AR(cuTexRefSetMaxAnisotropy, (CUtexref a, unsigned b), (a, b))
AR(cuTexRefSetMipmapFilterMode, (CUtexref a, CUfilter_mode b), (a, b))
AR(cuTexRefSetMipmapLevelBias, (CUtexref a, float b), (a, b))
AR(cuTexRefSetMipmapLevelClamp, (CUtexref a, float b, float c), (a, b, c))

// What gorgonia.org/cu lacks.
AR(cuGetErrorName, (CUresult a, const char **b), (a, b))
AR(cuDeviceGetPCIBusId, (char *a, int b, CUdevice c), (a, b, c))
AR(cuMemHostAlloc, (void **a, size_t b, unsigned c), (a, b, c))
AR(cuFuncSetAttribute, (CUfunction a, CUfunction_attribute b, int c), (a, b, c))
