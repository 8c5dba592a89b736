"""What the Methods cite, in full."""

from __future__ import annotations

#: What the paragraph of `methods` may cite, by the words it is cited with.
REFERENCES = {
    "Albers 2018": "Albers GW, Marks MP, Kemp S, et al. Thrombectomy for stroke at 6 to 16 hours with selection by "
    "perfusion imaging. N Engl J Med 2018;378:708–718. doi:10.1056/NEJMoa1713973",
    "Baker and Matthews 2004": "Baker S, Matthews I. Lucas-Kanade 20 years on: a unifying framework. Int J Comput Vis "
    "2004;56:221–255. doi:10.1023/B:VISI.0000011205.11775.fd",
    "Bennink 2016": "Bennink E, Oosterbroek J, Kudo K, et al. Fast nonlinear regression method for CT brain perfusion "
    "analysis. J Med Imaging 2016;3:026003. doi:10.1117/1.JMI.3.2.026003",
    "Bivard 2014": "Bivard A, Levi C, Krishnamurthy V, et al. Defining acute ischemic stroke tissue pathophysiology "
    "with whole brain CT perfusion. J Neuroradiol 2014;41:307–315.",
    "Boutelier 2012": "Boutelier T, Kudo K, Pautot F, Sasaki M. Bayesian hemodynamic parameter estimation by bolus "
    "tracking perfusion weighted imaging. IEEE Trans Med Imaging 2012;31:1381–1395. doi:10.1109/TMI.2012.2189890",
    "Cereda 2016": "Cereda CW, Christensen S, Campbell BCV, et al. A benchmarking tool to evaluate computer tomography "
    "perfusion infarct core predictions against a DWI standard. J Cereb Blood Flow Metab 2016;36:1780–1789. "
    "doi:10.1177/0271678X15610586",
    "Golub 1979": "Golub GH, Heath M, Wahba G. Generalized cross-validation as a method for choosing a good ridge "
    "parameter. Technometrics 1979;21:215–223. doi:10.1080/00401706.1979.10489751",
    "Laird 1978": "Laird N. Nonparametric maximum likelihood estimation of a mixing distribution. J Am Stat Assoc "
    "1978;73:805–811. doi:10.1080/01621459.1978.10480103",
    "Mendrik 2011": "Mendrik AM, Vonken E, van Ginneken B, et al. TIPS bilateral noise reduction in 4D CT perfusion "
    "scans produces high-quality cerebral blood flow maps. Phys Med Biol 2011;56:3857–3872. "
    "doi:10.1088/0031-9155/56/13/008",
    "Mouridsen 2006": "Mouridsen K, Friston K, Hjort N, et al. Bayesian estimation of cerebral perfusion using a "
    "physiological model of microvasculature. NeuroImage 2006;33:570–579. doi:10.1016/j.neuroimage.2006.06.015",
    "Patlak 1983": "Patlak CS, Blasberg RG, Fenstermacher JD. Graphical evaluation of blood-to-brain transfer "
    "constants from multiple-time uptake data. J Cereb Blood Flow Metab 1983;3:1–7. doi:10.1038/jcbfm.1983.1",
    "Peruzzo 2017": "Peruzzo D, Castellaro M, Pillonetto G, Bertoldo A. Stable spline deconvolution for dynamic "
    "susceptibility contrast MRI. Magn Reson Med 2017;78:1801–1811. doi:10.1002/mrm.26582",
    "Sanjay-Gopal 1998": "Sanjay-Gopal S, Hebert TJ. Bayesian pixel classification using spatially variant finite "
    "mixtures and the generalized EM algorithm. IEEE Trans Image Process 1998;7:1014–1028. doi:10.1109/83.701161",
    "Sethian 1996": "Sethian JA. A fast marching level set method for monotonically advancing fronts. Proc Natl Acad "
    "Sci USA 1996;93:1591–1595. doi:10.1073/pnas.93.4.1591",
    "Tukey 1977": "Tukey JW. Exploratory data analysis. Reading, MA: Addison-Wesley; 1977 (twicing).",
    "Wintermark 2006": "Wintermark M, Flanders AE, Velthuis B, et al. Perfusion-CT assessment of infarct core and "
    "penumbra: receiver operating characteristic curve analysis in 130 patients suspected of acute hemispheric stroke. "
    "Stroke 2006;37:979–985. doi:10.1161/01.STR.0000209238.61459.39",
    "Wu 2003": "Wu O, Østergaard L, Weisskoff RM, et al. Tracer arrival timing-insensitive technique for estimating "
    "flow in MR perfusion-weighted imaging using singular value decomposition with a block-circulant deconvolution "
    "matrix. Magn Reson Med 2003;50:164–174. doi:10.1002/mrm.10522",
    "Zanderigo 2009": "Zanderigo F, Bertoldo A, Pillonetto G, Cobelli C. Nonlinear stochastic regularization to "
    "characterize tissue residue function in bolus-tracking MRI. IEEE Trans Biomed Eng 2009;56:1287–1297. "
    "doi:10.1109/TBME.2009.2013820",
    "Østergaard 1996": "Østergaard L, Weisskoff RM, Chesler DA, et al. High resolution measurement of cerebral blood "
    "flow using intravascular tracer bolus passages. Part I. Magn Reson Med 1996;36:715–725. "
    "doi:10.1002/mrm.1910360510",
}


def references(text: str) -> list[str]:
    """Return what a paragraph cites, in alphabetical order.

    Examples
    --------
    >>> [entry[:11] for entry in references("deconvolution (Wu 2003), smoothed (Mendrik 2011)")]
    ['Mendrik AM,', 'Wu O, Øster']
    """
    return [entry for words, entry in REFERENCES.items() if words in text]
