#!/bin/sh
# Makes audio files with FFmpeg, SoX, LAME and opusenc, and what FFmpeg decodes from them, in the directory $1. The test
# `files_of_many_encoders_equal_what_ffmpeg_decodes` compares:
#   sh benches/faults/audio_reference.sh /tmp/reference
#   TONOTOPY_AUDIO_REFERENCE=/tmp/reference cargo test --release --lib many_encoders -- --ignored --nocapture
# A file without a reference must be refused. FFmpeg 5.1, SoX 14.4, LAME 3.100 and opus-tools 0.2 were used.
set -e
mkdir -p "$1"
cd "$1"
rm -f ./*
signal() { # RATE CHANNELS NAME: a different sound in each channel, with attacks
    expression=
    for channel in $(seq "$2"); do
        one="0.3*sin(2*PI*(150*$channel+40*t)*t)*(0.2+mod(5*t+0.1*$channel\,1))+0.02*(random($channel)-0.5)"
        expression="$expression${expression:+|}$one"
    done
    layout=$(echo mono stereo 3.0 quad 5.0 5.1 6.1 7.1 | cut -d ' ' -f "$2")
    ffmpeg -v error -y -f lavfi -i "aevalsrc=$expression:s=$1:d=3.21:c=$layout" -c:a pcm_s16le "$3"
}
reference() { # NAME [INPUT OPTIONS]
    name=$1
    shift
    # FFmpeg's own decoder of Opus resamples in another way than the reference decoder.
    case $name in *opus*) set -- -c:a libopus "$@" ;; esac
    ffmpeg -v error -y "$@" -i "$name" -map 0:a:0 -c:a pcm_f32le "$name.reference.wav"
}
encode() { # NAME RATE CHANNELS OPTIONS...
    name=$1
    signal "$2" "$3" source.tmp.wav
    shift 3
    ffmpeg -v error -y -i source.tmp.wav -map_metadata -1 -strict -2 "$@" "$name"
    case $name in
        *.m4a | *.mov | *.mp4) reference "$name" -ignore_editlist 1 ;;
        *) reference "$name" ;;
    esac
    rm -f source.tmp.wav
}
# Opus: every bandwidth, frame length and number of channels.
for rate in 8 12 16 24 32 64; do encode "opus-mono-$rate.opus" 48000 1 -c:a libopus -b:a "${rate}k"; done
for rate in 16 24 48 96 256; do encode "opus-stereo-$rate.opus" 48000 2 -c:a libopus -b:a "${rate}k"; done
for length in 2.5 5 10 40 60 120; do
    encode "opus-$length-ms.opus" 48000 2 -c:a libopus -b:a 40k -frame_duration "$length"
    encode "opus-voice-$length-ms.opus" 48000 1 -c:a libopus -b:a 20k -application voip -frame_duration "$length"
done
for channels in 3 4 5 6 7 8; do encode "opus-$channels.opus" 48000 "$channels" -c:a libopus -b:a 256k -mapping_family 1; done
encode opus.mp4 48000 2 -c:a libopus -b:a 64k
encode opus-from-44100.opus 44100 2 -c:a libopus -b:a 96k
# Vorbis with any number of channels.
for channels in 1 2 3 4 5 6 8; do encode "vorbis-$channels.ogg" 44100 "$channels" -c:a libvorbis -q:a 3; done
# AAC at all rates.
for rate in 8000 11025 12000 16000 22050 24000 32000 44100 48000 64000 88200 96000; do
    encode "aac-$rate.m4a" "$rate" 2 -c:a aac -b:a 128k
    encode "aac-$rate.aac" "$rate" 1 -c:a aac -b:a 64k
done
# MP3 at all rates, and in WAV. At 24 kHz FFmpeg takes 330 for the edge of a band that is 332 in the standard.
for rate in 8000 11025 12000 16000 22050 32000 44100 48000; do
    encode "mp3-$rate.mp3" "$rate" 2 -c:a libmp3lame -q:a 4
done
encode mp3-in.wav 44100 2 -c:a libmp3lame -b:a 128k
encode mp2-in.wav 44100 2 -c:a mp2 -b:a 192k
# Joint stereo, with block types that differ between the channels and with the same.
for rate in 22050 44100; do
    signal "$rate" 2 source.tmp.wav
    for mode in j f; do
        lame --quiet -d -m "$mode" -b 96 source.tmp.wav "joint-$mode-$rate.mp3"
        reference "joint-$mode-$rate.mp3"
    done
    rm source.tmp.wav
done
# FLAC: frames of all sizes, with and without a declared length, in Ogg.
encode flac.flac 44100 2 -c:a flac
encode flac-6.flac 48000 6 -c:a flac
encode flac-24.flac 96000 2 -c:a flac -sample_fmt s32
encode flac.oga 44100 2 -c:a flac
signal 44100 2 source.tmp.wav
flac -s --force -b 1000 -o flac-1000.flac source.tmp.wav
flac -s -c - < source.tmp.wav > flac-piped.flac
for name in flac-1000.flac flac-piped.flac; do reference "$name"; done
# PCM in all containers.
for codec in u8 s16le s24le s32le f32le f64le alaw mulaw; do encode "pcm-$codec.wav" 44100 2 -c:a "pcm_$codec"; done
for codec in s16le s24le f32le; do
    encode "pcm-$codec.w64" 44100 3 -c:a "pcm_$codec"
    encode "pcm-$codec.rf64.wav" 44100 2 -c:a "pcm_$codec" -rf64 always
done
for codec in s16be s24be s32be s16le f32be f64be alaw mulaw; do
    encode "pcm-$codec.aiff" 44100 2 -c:a "pcm_$codec"
    encode "pcm-$codec.caf" 44100 2 -c:a "pcm_$codec"
done
for codec in s8 s16be s24be s32be f32be f64be mulaw alaw; do encode "pcm-$codec.au" 44100 2 -c:a "pcm_$codec"; done
encode alac.caf 44100 2 -c:a alac
encode alac.m4a 44100 2 -c:a alac
encode pcm.mov 44100 2 -c:a pcm_s16be
encode rifx.tmp.wav 44100 2 -c:a pcm_s16le
rm rifx.tmp.wav.reference.wav
sox rifx.tmp.wav -B rifx.wav
sox rifx.tmp.wav -b 24 extensible-24.wav
rm rifx.tmp.wav
reference extensible-24.wav
# FFmpeg 5.1 reads RIFX in the wrong byte order.
sox rifx.wav -e floating-point -b 32 rifx.wav.reference.wav
# Written to a pipe.
signal 44100 2 source.tmp.wav
for type in wav aiff au w64 caf; do
    ffmpeg -v error -i source.tmp.wav -f "$type" - | cat > "ffmpeg-pipe.$type"
    cp source.tmp.wav "ffmpeg-pipe.$type.reference.wav"
done
for type in wav aiff au; do # SoX repeats the header in the other formats.
    sox source.tmp.wav -t "$type" - 2> pipe.tmp | cat > "sox-pipe.$type"
    cp source.tmp.wav "sox-pipe.$type.reference.wav"
done
rm -f ./*.tmp ./*.tmp.wav
# Not supported: no reference.
encode wavpack.wv 44100 2 -c:a wavpack
encode wma.wma 44100 2 -c:a wmav2
encode ac3.ac3 44100 2 -c:a ac3
encode matroska.mka 44100 2 -c:a libvorbis
encode tta.tta 44100 2 -c:a tta
encode adpcm.wav 44100 2 -c:a adpcm_ms
encode ac3.m4a 44100 2 -c:a ac3
encode surround.m4a 44100 6 -c:a aac
for name in wavpack.wv wma.wma ac3.ac3 matroska.mka tta.tta adpcm.wav ac3.m4a surround.m4a; do
    rm "$name.reference.wav"
done
