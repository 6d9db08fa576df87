# Min, mean and max per weather station. usage: mawk -f measurements.awk INPUT > OUTPUT
BEGIN { FS = ";" }
{
  if (!($1 in count)) { min[$1] = $2 + 0; max[$1] = $2 + 0 }
  else { if ($2 < min[$1]) min[$1] = $2 + 0; if ($2 > max[$1]) max[$1] = $2 + 0 }
  sum[$1] += $2
  count[$1]++
}
END { for (s in count) printf "%s\t%s\t%.10g\t%s\n", s, min[s], sum[s] / count[s], max[s] }
