"""From images to numbers: radiomics by the IBSI standard."""
