"""One loop over cases for the whole product: processes, progress, resume, failed cases set aside and named."""

from fiducial.compute.cases import Failure, MapResult, map_cases
from fiducial.compute.cores import visible_cores

__all__ = ["Failure", "MapResult", "map_cases", "visible_cores"]
