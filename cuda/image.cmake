# One family's image from its PTX: lowers the PTX's .version to the least that ptxas takes, so that older
# drivers can load it, makes machine code for ARCHS, and puts all into a fat binary.
set(VERSIONS 7.0 7.1 7.2 7.3 7.4 7.5 7.6 7.7 7.8 8.0 8.1 8.2 8.3 8.4 8.5 8.6 8.7 8.8 9.0)
get_filename_component(FAMILY ${PTX} NAME_WE)
get_filename_component(FOLDER ${PTX} DIRECTORY)
set(LOWERED ${FOLDER}/${FAMILY}.lowered.ptx)

file(READ ${PTX} TEXT)
string(REGEX MATCH "\\.version ([0-9.]+)" GIVEN "${TEXT}")
set(MADE ${CMAKE_MATCH_1})
string(REPLACE "${SOURCES}" "cuda/" TEXT "${TEXT}")  # no path of this machine in what ships
# A hint to tools about vector loads of which some bytes are not used; it asks for PTX 8.3.
string(REGEX REPLACE "[ \t]*\\.pragma \"used_bytes_mask[^\n]*\n" "" TEXT "${TEXT}")

# Only the head decides what can be read at all, but any instruction may need more: the whole is tried.
foreach(VERSION ${VERSIONS} ${MADE})
  string(REPLACE "${GIVEN}" ".version ${VERSION}" LOWER "${TEXT}")
  file(WRITE ${LOWERED} "${LOWER}")
  execute_process(COMMAND ${PTXAS} -arch=sm_80 -O0 -o ${FOLDER}/${FAMILY}.trial.cubin ${LOWERED}
    RESULT_VARIABLE FAILED OUTPUT_QUIET ERROR_VARIABLE WHY)
  if(NOT FAILED)
    file(WRITE ${FOLDER}/${FAMILY}.version "${VERSION}")
    break()
  endif()
endforeach()
if(FAILED)
  message(FATAL_ERROR "ptxas does not take ${PTX}:\n${WHY}")
endif()
file(REMOVE ${FOLDER}/${FAMILY}.trial.cubin)

set(PARTS --image3=kind=ptx,sm=80,file=${LOWERED})
foreach(ARCH ${ARCHS})
  set(CUBIN ${FOLDER}/${FAMILY}.sm_${ARCH}.cubin)
  execute_process(COMMAND ${PTXAS} -arch=sm_${ARCH} -O3 -v -o ${CUBIN} ${LOWERED}
    RESULT_VARIABLE FAILED ERROR_VARIABLE REGISTERS)
  if(FAILED)
    message(FATAL_ERROR "${REGISTERS}")
  endif()
  # What ptxas says of registers and spills, for the bench.
  file(WRITE ${FOLDER}/${FAMILY}.sm_${ARCH}.txt "${REGISTERS}")
  list(APPEND PARTS --image3=kind=elf,sm=${ARCH},file=${CUBIN})
endforeach()

get_filename_component(TO ${IMAGE} DIRECTORY)
file(MAKE_DIRECTORY ${TO})
execute_process(COMMAND ${FATBINARY} --create=${IMAGE}.new -64 --compress=false ${PARTS} RESULT_VARIABLE FAILED)
if(FAILED)
  message(FATAL_ERROR "fatbinary failed for ${FAMILY}")
endif()
file(RENAME ${IMAGE}.new ${IMAGE})
