// Prototypes of stream capture and of graphs; included by driver_api.h.
#pragma once

// ---- capture (graph_capture.cc) -------------------------------------------------------------------
PTX_API cuStreamBeginCapture_v2(CUstream stream, int mode);
PTX_API cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode* dependencies,
                                    const CUgraphEdgeData* edges, size_t count, int mode);
PTX_API cuStreamEndCapture(CUstream stream, CUgraph* graph);
PTX_API cuStreamIsCapturing(CUstream stream, int* status);
PTX_API cuStreamGetCaptureInfo_v2(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                  const CUgraphNode** dependencies, size_t* count);
PTX_API cuStreamGetCaptureInfo_v3(CUstream stream, int* status, uint64_t* id, CUgraph* graph,
                                  const CUgraphNode** dependencies, const CUgraphEdgeData** edges,
                                  size_t* count);
PTX_API cuThreadExchangeStreamCaptureMode(int* mode);

// ---- building (graph.cc, graph_nodes.cc) ----------------------------------------------------------
PTX_API cuGraphCreate(CUgraph* graph, PTX_uint flags);
PTX_API cuGraphDestroy(CUgraph graph);
PTX_API cuGraphClone(CUgraph* clone, CUgraph original);
PTX_API cuGraphNodeFindInClone(CUgraphNode* node, CUgraphNode original, CUgraph clone);
PTX_API cuGraphDestroyNode(CUgraphNode node);
PTX_API cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count);
PTX_API cuGraphGetRootNodes(CUgraph graph, CUgraphNode* nodes, size_t* count);
PTX_API cuGraphGetEdges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, size_t* count);
PTX_API cuGraphGetEdges_v2(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edges,
                           size_t* count);
PTX_API cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type);
PTX_API cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* nodes, size_t* count);
PTX_API cuGraphNodeGetDependencies_v2(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* edges,
                                      size_t* count);
PTX_API cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* nodes, size_t* count);
PTX_API cuGraphNodeGetDependentNodes_v2(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* edges,
                                        size_t* count);
PTX_API cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, size_t count);
PTX_API cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                  const CUgraphEdgeData* edges, size_t count);
PTX_API cuGraphRemoveDependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                  size_t count);
PTX_API cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                     const CUgraphEdgeData* edges, size_t count);
PTX_API cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                             size_t count, const CUDA_KERNEL_NODE_PARAMS_v1* params);
PTX_API cuGraphAddKernelNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                size_t count, const CUDA_KERNEL_NODE_PARAMS* params);
PTX_API cuGraphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                             size_t count, const CUDA_MEMCPY3D* params, CUcontext context);
PTX_API cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                             size_t count, const CUDA_MEMSET_NODE_PARAMS* params, CUcontext context);
PTX_API cuGraphAddHostNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies, size_t count,
                           const CUDA_HOST_NODE_PARAMS* params);
PTX_API cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                 size_t count, CUgraph child);
PTX_API cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                            size_t count);
PTX_API cuGraphAddEventRecordNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                  size_t count, CUevent event);
PTX_API cuGraphAddEventWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                size_t count, CUevent event);
PTX_API cuGraphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                               size_t count, CUDA_MEM_ALLOC_NODE_PARAMS* params);
PTX_API cuGraphAddMemFreeNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                              size_t count, CUdeviceptr address);
PTX_API cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS_v1* params);
PTX_API cuGraphKernelNodeGetParams_v2(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* params);
PTX_API cuGraphKernelNodeSetParams(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS_v1* params);
PTX_API cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* params);
PTX_API cuGraphMemcpyNodeGetParams(CUgraphNode node, CUDA_MEMCPY3D* params);
PTX_API cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* params);
PTX_API cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* params);
PTX_API cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* params);
PTX_API cuGraphHostNodeGetParams(CUgraphNode node, CUDA_HOST_NODE_PARAMS* params);
PTX_API cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* params);
PTX_API cuGraphChildGraphNodeGetGraph(CUgraphNode node, CUgraph* graph);

// ---- executable graphs (graph_exec.cc) ------------------------------------------------------------
PTX_API cuGraphInstantiate_v2(CUgraphExec* exec, CUgraph graph, CUgraphNode* error_node, char* log,
                              size_t bytes);
PTX_API cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long flags);
PTX_API cuGraphInstantiateWithParams(CUgraphExec* exec, CUgraph graph,
                                     CUDA_GRAPH_INSTANTIATE_PARAMS* params);
PTX_API cuGraphExecGetFlags(CUgraphExec exec, uint64_t* flags);
PTX_API cuGraphExecDestroy(CUgraphExec exec);
PTX_API cuGraphUpload(CUgraphExec exec, CUstream stream);
PTX_API cuGraphLaunch(CUgraphExec exec, CUstream stream);
PTX_API cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo* info);
PTX_API cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                       const CUDA_KERNEL_NODE_PARAMS_v1* params);
PTX_API cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                          const CUDA_KERNEL_NODE_PARAMS* params);
PTX_API cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node, const CUDA_MEMCPY3D* params,
                                       CUcontext context);
PTX_API cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                       const CUDA_MEMSET_NODE_PARAMS* params, CUcontext context);
PTX_API cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                     const CUDA_HOST_NODE_PARAMS* params);
PTX_API cuGraphNodeSetEnabled(CUgraphExec exec, CUgraphNode node, PTX_uint enabled);
PTX_API cuGraphNodeGetEnabled(CUgraphExec exec, CUgraphNode node, PTX_uint* enabled);
