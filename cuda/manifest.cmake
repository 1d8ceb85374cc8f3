# manifest.json: what the images hold. Written last, so that where it stands all images do.
set(NEWEST 0)
set(LIST "")
foreach(FAMILY ${FAMILIES})
  file(READ ${FOLDER}/${FAMILY}.version VERSION)
  if(VERSION VERSION_GREATER NEWEST)
    set(NEWEST ${VERSION})
  endif()
endforeach()
list(TRANSFORM FAMILIES REPLACE "(.+)" "\"\\1\"")
list(JOIN FAMILIES ", " FAMILIES)
list(JOIN ARCHS ", " ARCHS)
execute_process(COMMAND ${NVCC} --version OUTPUT_VARIABLE ABOUT)
string(REGEX MATCH "release ([0-9.]+)" _ "${ABOUT}")
file(WRITE ${MANIFEST}.new "{
  \"toolkit\": \"${CMAKE_MATCH_1}\",
  \"ptx\": { \"arch\": 80, \"version\": \"${NEWEST}\" },
  \"machineCode\": [${ARCHS}],
  \"families\": [${FAMILIES}]
}
")
file(RENAME ${MANIFEST}.new ${MANIFEST})
